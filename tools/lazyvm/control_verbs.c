/* SPDX-License-Identifier: MIT */
#include "control_verbs.h"

const struct control_verb *const control_verbs[] = {
	&verb_status, &verb_pause,   &verb_resume, &verb_snapshot, &verb_discard,
	&verb_quit,   &verb_migrate, &verb_cancel, NULL,
};
