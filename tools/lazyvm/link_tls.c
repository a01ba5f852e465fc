/* SPDX-License-Identifier: MIT
 *
 * TLS for a link, by GnuTLS, which is included here alone. Without it, whoever
 * asks for TLS is refused.
 *
 * Both sides must show who they are: with a key that both have, or each with a
 * certificate of an authority that the other trusts, and has not revoked. The side
 * that connects also checks that the certificate is of the host that it was told to
 * connect to: of that name, not of the address that somebody resolved it to.
 */
#include "link.h"

#include "fault.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ------------------------------------------------------------------------ */

/* The first line, NAME:KEY, cut in two. For the caller to free. NULL: a sentence. */
static char *read_psk(const char *path, const char **ret_key)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	char *colon;

	if (file == NULL) {
		fault("%s: %s", path, strerror(errno));
		return NULL;
	}
	length = getline(&line, &capacity, file);
	fclose(file);
	colon = length > 0 ? strchr(line, ':') : NULL;
	if (colon == NULL || colon == line) {
		fault("%s: does not begin with NAME:KEY", path);
		free(line);
		return NULL;
	}
	*colon = '\0';
	colon[1 + strcspn(colon + 1, " \t\r\n")] = '\0';
	*ret_key = colon + 1;
	return line;
}

char *link_psk_name(const char *path)
{
	const char *key;

	return read_psk(path, &key);
}

#ifdef HAVE_GNUTLS

#include <gnutls/gnutls.h>

struct link_tls {
	gnutls_session_t session;
	gnutls_psk_client_credentials_t psk_client;
	gnutls_psk_server_credentials_t psk_server;
	gnutls_certificate_credentials_t certificates;
	ssize_t error; /* the last one */
};

/* With a key nothing but the key is shown, and what was recorded cannot be read by whoever gets
 * the key later. */
#define PRIORITY "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"
#define PSK_PRIORITY PRIORITY ":-KX-ALL:+ECDHE-PSK:+DHE-PSK"

static int tls_fault(const char *what, int error)
{
	return fault("%s: %s", what, gnutls_strerror(error));
}

static int use_psk_client(struct link_tls *tls, const char *path)
{
	const char *key;
	char *name = read_psk(path, &key);
	int error;

	if (name == NULL)
		return -1;
	error = gnutls_psk_allocate_client_credentials(&tls->psk_client);
	if (error == 0) {
		const gnutls_datum_t datum = {(unsigned char *)key, (unsigned)strlen(key)};

		error = gnutls_psk_set_client_credentials(tls->psk_client, name, &datum,
							  GNUTLS_PSK_KEY_HEX);
	}
	free(name);
	if (error == 0)
		error = gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->psk_client);
	return error == 0 ? 0 : tls_fault(path, error);
}

static int use_psk_server(struct link_tls *tls, const char *path)
{
	int error = gnutls_psk_allocate_server_credentials(&tls->psk_server);

	if (error == 0)
		error = gnutls_psk_set_server_credentials_file(tls->psk_server, path);
	if (error == 0)
		error = gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->psk_server);
	return error == 0 ? 0 : tls_fault(path, error);
}

/* Certificates that count no more, if there is a list of them. */
static int load_revoked(struct link_tls *tls, const char *directory)
{
	char path[4096];
	int error;

	snprintf(path, sizeof(path), "%s/ca-crl.pem", directory);
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return 0;
	error = gnutls_certificate_set_x509_crl_file(tls->certificates, path, GNUTLS_X509_FMT_PEM);
	return error > 0   ? 0
	       : error < 0 ? tls_fault(path, error)
			   : fault("%s: there is no list in it", path);
}

static int load_certificates(struct link_tls *tls, const char *directory, bool is_server)
{
	const char *side = is_server ? "server" : "client";
	char authority[4096];
	char certificate[4096];
	char key[4096];
	int error;

	snprintf(authority, sizeof(authority), "%s/ca-cert.pem", directory);
	snprintf(certificate, sizeof(certificate), "%s/%s-cert.pem", directory, side);
	snprintf(key, sizeof(key), "%s/%s-key.pem", directory, side);
	error = gnutls_certificate_allocate_credentials(&tls->certificates);
	if (error != 0)
		return tls_fault(directory, error);
	error = gnutls_certificate_set_x509_trust_file(tls->certificates, authority,
						       GNUTLS_X509_FMT_PEM);
	if (error <= 0)
		return error < 0 ? tls_fault(authority, error)
				 : fault("%s: there is no certificate in it", authority);
	error = gnutls_certificate_set_x509_key_file(tls->certificates, certificate, key,
						     GNUTLS_X509_FMT_PEM);
	return error == 0 ? 0 : tls_fault(certificate, error);
}

static int use_certificates(struct link *link, struct link_tls *tls, const char *directory,
			    bool is_server)
{
	int error;

	if (load_certificates(tls, directory, is_server) != 0 || load_revoked(tls, directory) != 0)
		return -1;
	error = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->certificates);
	if (error != 0)
		return tls_fault(directory, error);
	if (is_server)
		gnutls_certificate_server_set_request(tls->session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert(tls->session, is_server ? NULL : link->host, 0);
	return 0;
}

static int use_credentials(struct link *link, struct link_tls *tls,
			   const struct link_security *security, bool is_server)
{
	const char *priority = security->kind == WIRE_PSK ? PSK_PRIORITY : PRIORITY;
	int error = gnutls_priority_set_direct(tls->session, priority, NULL);

	if (error != 0)
		return tls_fault("TLS", error);
	if (security->kind == WIRE_CERTIFICATES)
		return use_certificates(link, tls, security->path, is_server);
	return is_server ? use_psk_server(tls, security->path)
			 : use_psk_client(tls, security->path);
}

static enum link_result shake_hands(struct link *link, struct link_tls *tls)
{
	uint64_t until = link_now() + link->patience_ms;

	for (;;) {
		int error = gnutls_handshake(tls->session);
		enum link_result result;

		if (error == 0)
			return LINK_OK;
		if (gnutls_error_is_fatal(error) != 0) {
			fault("TLS with %s: %s", link->peer, gnutls_strerror(error));
			return LINK_NONSENSE;
		}
		/* A peer may warn as often as it likes, but not for as long. */
		if (error != GNUTLS_E_AGAIN)
			result = link_now() < until ? LINK_OK : LINK_QUIET;
		else
			result = link_wait(link,
					   gnutls_record_get_direction(tls->session) != 0 ? POLLOUT
											  : POLLIN,
					   until);
		if (result == LINK_QUIET)
			fault("TLS with %s: it does not answer", link->peer);
		if (result != LINK_OK)
			return result == LINK_QUIET ? LINK_BROKEN : result;
	}
}

enum link_result link_secure(struct link *link, const struct link_security *security,
			     bool is_server)
{
	struct link_tls *tls;
	enum link_result result;
	int error;

	if (security->kind == WIRE_PLAIN)
		return LINK_OK;
	tls = calloc(1, sizeof(*tls));
	if (tls == NULL) {
		fault("no memory for TLS");
		return LINK_BROKEN;
	}
	error = gnutls_init(&tls->session, (is_server ? GNUTLS_SERVER : GNUTLS_CLIENT) |
						   GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
	if (error != 0) {
		tls_fault("TLS", error);
		free(tls);
		return LINK_BROKEN;
	}
	gnutls_transport_set_int(tls->session, link->fd);
	result = use_credentials(link, tls, security, is_server) == 0 ? shake_hands(link, tls)
								      : LINK_BROKEN;
	if (result == LINK_OK)
		link->tls = tls;
	else
		link_tls_free(tls);
	link->heard_ms = link_now();
	return result;
}

static ssize_t bytes_or_errno(struct link_tls *tls, ssize_t count)
{
	if (count >= 0)
		return count;
	tls->error = count;
	if (count == GNUTLS_E_AGAIN || count == GNUTLS_E_INTERRUPTED ||
	    gnutls_error_is_fatal((int)count) == 0)
		errno = count == GNUTLS_E_AGAIN ? EAGAIN : EINTR;
	else
		errno = count == GNUTLS_E_PREMATURE_TERMINATION ? ECONNRESET : EPROTO;
	return -1;
}

ssize_t link_tls_send(struct link_tls *tls, const void *bytes, size_t length)
{
	return bytes_or_errno(tls, gnutls_record_send(tls->session, bytes, length));
}

ssize_t link_tls_receive(struct link_tls *tls, void *bytes, size_t length)
{
	return bytes_or_errno(tls, gnutls_record_recv(tls->session, bytes, length));
}

const char *link_tls_complaint(const struct link_tls *tls)
{
	const char *alert = gnutls_alert_get_name(gnutls_alert_get(tls->session));

	if (tls->error == GNUTLS_E_FATAL_ALERT_RECEIVED && alert != NULL)
		return alert;
	return gnutls_strerror((int)tls->error);
}

void link_tls_free(struct link_tls *tls)
{
	if (tls == NULL)
		return;
	gnutls_bye(tls->session, GNUTLS_SHUT_WR);
	gnutls_deinit(tls->session);
	if (tls->psk_client != NULL)
		gnutls_psk_free_client_credentials(tls->psk_client);
	if (tls->psk_server != NULL)
		gnutls_psk_free_server_credentials(tls->psk_server);
	if (tls->certificates != NULL)
		gnutls_certificate_free_credentials(tls->certificates);
	free(tls);
}

int link_check_security(const struct link_security *security)
{
	struct stat status;
	char *name;

	if (security->kind == WIRE_PLAIN)
		return 0;
	if (stat(security->path, &status) != 0)
		return fault("%s: %s", security->path, strerror(errno));
	if (security->kind == WIRE_CERTIFICATES)
		return S_ISDIR(status.st_mode) ? 0 : fault("%s: is no directory", security->path);
	name = link_psk_name(security->path);
	free(name);
	return name != NULL ? 0 : -1;
}

#else

enum link_result link_secure(struct link *link, const struct link_security *security,
			     bool is_server)
{
	(void)link;
	(void)is_server;
	return link_check_security(security) == 0 ? LINK_OK : LINK_BROKEN;
}

ssize_t link_tls_send(struct link_tls *tls, const void *bytes, size_t length)
{
	(void)tls;
	(void)bytes;
	(void)length;
	errno = ENOSYS;
	return -1;
}

ssize_t link_tls_receive(struct link_tls *tls, void *bytes, size_t length)
{
	(void)tls;
	(void)bytes;
	(void)length;
	errno = ENOSYS;
	return -1;
}

const char *link_tls_complaint(const struct link_tls *tls)
{
	(void)tls;
	return strerror(errno);
}

void link_tls_free(struct link_tls *tls)
{
	(void)tls;
}

int link_check_security(const struct link_security *security)
{
	return security->kind == WIRE_PLAIN ? 0 : fault("this lazyvm was built without GnuTLS");
}

#endif
