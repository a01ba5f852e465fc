/* SPDX-License-Identifier: MIT
 *
 * nbd_tls_test.c - exports over TLS, with a pre-shared key and with certificates.
 */
#include <errno.h>
#include <lazymem/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/image.h>
#include <support/nbd_server.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH (2 * MIB)

static struct image image;
static struct nbd_server server;
static char path[200], keys[200], certificates[200];

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* A file of pre-shared keys with one user. */
static void make_keys(const char *name)
{
	char command[600];

	snprintf(keys, sizeof(keys), "%s", scratch_path(name));
	snprintf(command, sizeof(command), "psktool -u guest -p %s >/dev/null 2>&1", keys);
	run(command);
}

/* An authority, and a certificate that it has made for the server. */
static void make_certificates(const char *name)
{
	char command[4000];

	snprintf(certificates, sizeof(certificates), "%s", scratch_path(name));
	assert_int_equal(mkdir(certificates, 0700), 0);
	snprintf(command, sizeof(command),
		 "cd %s && { "
		 "printf 'cn=test\\nca\\ncert_signing_key\\n' >ca.info && "
		 "printf 'cn=localhost\\ndns_name=localhost\\ntls_www_server\\n"
		 "signing_key\\nencryption_key\\n' >server.info && "
		 "certtool --generate-privkey --key-type=ecdsa --outfile ca-key.pem && "
		 "certtool --generate-self-signed --load-privkey ca-key.pem --template ca.info "
		 "--outfile ca-cert.pem && "
		 "certtool --generate-privkey --key-type=ecdsa --outfile server-key.pem && "
		 "certtool --generate-certificate --load-privkey server-key.pem "
		 "--load-ca-certificate ca-cert.pem --load-ca-privkey ca-key.pem "
		 "--template server.info --outfile server-cert.pem; } >/dev/null 2>&1",
		 certificates);
	run(command);
}

static void begin(void)
{
	image_create(&image, LENGTH, "d", 3);
	snprintf(path, sizeof(path), "%s", image_write(&image, "image.raw"));
	nbd_server_init(&server, "nbd");
}

static void end(void)
{
	nbd_server_kill(&server);
	image_destroy(&image);
}

static void serve_with_keys(void)
{
	char option[300];

	snprintf(option, sizeof(option), "--tls-psk=%s", keys);
	NBD_SERVER_START(&server, "--tls=require", option, "file", path);
}

static void assert_all_is_read(const char *uri)
{
	struct lazymem_backing *backing;
	unsigned char *buffer = malloc(LENGTH);

	assert_non_null(buffer);
	assert_ok(lazymem_nbd_open(uri, NULL, &backing));
	assert_ok(lazymem_backing_read(backing, 0, buffer, LENGTH));
	assert_true(image_matches(&image, 0, buffer, LENGTH));
	lazymem_backing_unref(backing);
	free(buffer);
}

static void test_a_key_opens_an_export(void **state)
{
	char uri[600];

	(void)state;
	begin();
	make_keys("keys.psk");
	serve_with_keys();
	snprintf(uri, sizeof(uri), "nbds+unix://guest@/?socket=%s&tls-psk-file=%s", server.socket,
		 keys);
	assert_all_is_read(uri);
	end();
}

static void test_another_key_does_not(void **state)
{
	struct lazymem_backing *backing = NULL;
	char uri[600];

	(void)state;
	begin();
	make_keys("right.psk");
	serve_with_keys();
	make_keys("wrong.psk");
	snprintf(uri, sizeof(uri), "nbds+unix://guest@/?socket=%s&tls-psk-file=%s", server.socket,
		 keys);
	assert_true(lazymem_nbd_open(uri, NULL, &backing) < 0);
	assert_non_null(strstr(lazymem_error_message(), server.socket));
	assert_null(backing);
	end();
}

static void test_a_server_that_requires_it_is_not_read_without(void **state)
{
	struct lazymem_backing *backing = NULL;

	(void)state;
	begin();
	make_keys("plain.psk");
	serve_with_keys();
	assert_true(lazymem_nbd_open(server.uri, NULL, &backing) < 0);
	assert_null(backing);
	end();
}

/* Nobody on the way may talk a client out of it. */
static void test_a_server_without_it_is_not_read_where_it_is_asked_for(void **state)
{
	struct lazymem_backing *backing = NULL;
	char uri[600];

	(void)state;
	begin();
	make_keys("asked.psk");
	NBD_SERVER_START(&server, "file", path);
	snprintf(uri, sizeof(uri), "nbds+unix://guest@/?socket=%s&tls-psk-file=%s", server.socket,
		 keys);
	assert_true(lazymem_nbd_open(uri, NULL, &backing) < 0);
	assert_null(backing);
	end();
}

/* Over TCP: of a unix socket nobody asks which host it is. */
static unsigned serve_with_certificates(void)
{
	char option[300];

	snprintf(option, sizeof(option), "--tls-certificates=%s", certificates);
	return nbd_server_start_tcp(
		&server, (const char *const[]){"--tls=require", option, "file", path, NULL});
}

static void test_certificates_open_an_export(void **state)
{
	char uri[600];
	unsigned port;

	(void)state;
	begin();
	make_certificates("pki");
	port = serve_with_certificates();
	snprintf(uri, sizeof(uri), "nbds://localhost:%u/?tls-certificates=%s", port, certificates);
	assert_all_is_read(uri);
	end();
}

static void assert_not_certified(const char *host, unsigned port)
{
	struct lazymem_backing *backing = NULL;
	char uri[600];

	snprintf(uri, sizeof(uri), "nbds://%s:%u/?tls-certificates=%s", host, port, certificates);
	assert_true(lazymem_nbd_open(uri, NULL, &backing) < 0);
	assert_non_null(strstr(lazymem_error_message(), "certificate"));
	assert_null(backing);
}

static void test_a_certificate_of_another_authority_is_refused(void **state)
{
	unsigned port;

	(void)state;
	begin();
	make_certificates("theirs");
	port = serve_with_certificates();
	make_certificates("ours");
	assert_not_certified("localhost", port);
	end();
}

static void test_a_certificate_of_another_host_is_refused(void **state)
{
	unsigned port;

	(void)state;
	begin();
	make_certificates("localhost");
	port = serve_with_certificates();
	assert_not_certified("127.0.0.1", port);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_key_opens_an_export),
		TEST(test_another_key_does_not),
		TEST(test_a_server_that_requires_it_is_not_read_without),
		TEST(test_a_server_without_it_is_not_read_where_it_is_asked_for),
		TEST(test_certificates_open_an_export),
		TEST(test_a_certificate_of_another_authority_is_refused),
		TEST(test_a_certificate_of_another_host_is_refused),
	};

	require_nbd();
	if (system("psktool --version >/dev/null 2>&1") != 0)
		skip_program("psktool is not installed");
	return run_group(tests);
}
