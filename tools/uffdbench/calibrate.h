/* SPDX-License-Identifier: MIT
 *
 * calibrate.h - what this machine can do at all, measured before the engines,
 * so that their numbers can be put in proportion.
 */
#ifndef UFFDBENCH_CALIBRATE_H
#define UFFDBENCH_CALIBRATE_H

#include "image.h"
#include "pin.h"

/* Rates are per second; below zero: could not be measured here. */
struct calibration {
	double clock_ns;         /* one reading of the clock */
	double floor_p50_ns;     /* engine floor */
	double memcpy_bytes;     /* into warm memory */
	double random_depth1;    /* reads of 4 KiB with O_DIRECT, one at a time */
	double random_depth32;   /* the same, 32 at a time */
	double sequential_bytes; /* reads of 1 MiB with O_DIRECT, one at a time */
};

/* `cpus` is where the engines will run; only floor is measured there. */
struct calibration calibrate(const struct image *image, struct pin_cpus cpus);

/* The rates of the device, for calibrate(). */
void calibrate_device(const struct image *image, struct calibration *calibration);

#endif
