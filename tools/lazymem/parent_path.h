/* SPDX-License-Identifier: MIT */
#ifndef LAZYMEM_TOOL_PARENT_PATH_H
#define LAZYMEM_TOOL_PARENT_PATH_H

/* Where the file `output` will find the file `parent`, as a layer says it: an
 * absolute name and a URI as they are given; else relative to output's directory, which may
 * be another one than ours. For the caller to free; NULL after a message. */
char *parent_path_from(const char *output, const char *parent);

#endif
