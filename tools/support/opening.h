/* SPDX-License-Identifier: MIT
 *
 * opening.h - images and snapshots by the names that a command line has for them:
 * paths of files, and URIs of NBD exports. What fails leaves a sentence in
 * lazymem_error_message().
 */
#ifndef TOOL_OPENING_H
#define TOOL_OPENING_H

#include <lazymem/snapshot.h>
#include <stdbool.h>

/* nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, and with TLS. */
bool opening_is_uri(const char *name);

/* The bytes by that name as an object. 0 or a negative errno value. */
int opening_image(const char *name, struct lazymem_backing **ret_image);

/* The snapshot of which the file and its parents have these names, the topmost first. Those
 * that are not named are looked for where the layers say, as long as all names are of files;
 * where one is a URI, all of them are opened as objects, and `files`, of which there are
 * `count`, receives these where it has NULL, also when it fails; one that is there already
 * is taken as it is. As above. */
int opening_snapshot(const char *const *names, size_t count, struct lazymem_backing **files,
		     struct lazymem_snapshot **ret_snapshot);

/* Drop what `files` has received. */
void opening_close(struct lazymem_backing *const *files, size_t count);

#endif
