/* SPDX-License-Identifier: MIT */
#include "report.h"
#include "report_file.h"
#include "summary.h"
#include "writable.h"

static void put_calibration(struct json *json, const struct calibration *calibration)
{
	json_open(json, "calibration", '{');
	json_rate(json, "clock_ns", calibration->clock_ns);
	json_rate(json, "floor_p50_ns", calibration->floor_p50_ns);
	json_rate(json, "memcpy_bytes_per_second", calibration->memcpy_bytes);
	json_rate(json, "random_depth1_per_second", calibration->random_depth1);
	json_rate(json, "random_depth32_per_second", calibration->random_depth32);
	json_rate(json, "sequential_bytes_per_second", calibration->sequential_bytes);
	json_close(json, '}');
}

static void put_setting(struct json *json, const struct options *options, const struct run *run)
{
	json_string(json, "engine", run->engine->name);
	json_string(json, "workload", run->workload);
	json_string(json, "source", source_name(options->source));
	json_number(json, "repeat", run->repeat);
	json_number(json, "memory_bytes", run->memory);
	json_number(json, "threads", options->threads);
	json_string(json, "pin", pin_name(options->pin));
	json_bool(json, "write", options->write);
	json_number(json, "pages", run->pages);
}

/* null, where the engine does not tell. */
static void put_known(struct json *json, const char *key, bool known, uint64_t value)
{
	if (known)
		json_number(json, key, value);
	else
		json_null(json, key);
}

static void put_demand(struct json *json, const struct demand *demand)
{
	put_known(json, "recorded_faults", demand->known, demand->recorded_faults);
	put_known(json, "waited_faults", demand->waits_known, demand->waited);
	put_known(json, "late_faults", demand->waits_known, demand->late);
	put_known(json, "demand_p50_ns", demand->known, demand->latency.p50_ns);
	put_known(json, "demand_p99_ns", demand->known, demand->latency.p99_ns);
	put_known(json, "demand_max_ns", demand->known, demand->latency.max_ns);
}

static void put_result(struct json *json, const struct run *run)
{
	json_number(json, "faults", run->faults);
	json_number(json, "first_ns", run->first_ns);
	json_number(json, "wall_ns", run->wall_ns);
	if (run->complete_ns != 0)
		json_number(json, "complete_ns", run->complete_ns);
	else
		json_null(json, "complete_ns");
	json_number(json, "p50_ns", run->latency.p50_ns);
	json_number(json, "p90_ns", run->latency.p90_ns);
	json_number(json, "p99_ns", run->latency.p99_ns);
	json_number(json, "p999_ns", run->latency.p999_ns);
	json_number(json, "max_ns", run->latency.max_ns);
	json_number(json, "mean_ns", run->latency.mean_ns);
	json_number(json, "cpu_ns", run->cpu_ns);
	json_number(json, "bytes_read", run->bytes_read);
	json_number(json, "device_bytes", run->device_bytes);
	json_number(json, "context_switches", run->context_switches);
	json_number(json, "mismatches", run->mismatches);
	json_number(json, "resident_before", run->resident_before);
	json_number(json, "source_pages", run->source_pages);
	json_number(json, "recorded_pages", run->recorded_pages);
	put_demand(json, &run->demand);
	json_bool(json, "compared", run->engine->has_source);
	json_bool(json, "proved", run->proved);
	json_bool(json, "failed", run->failed);
}

static void put_summary(struct json *json, const struct report *report)
{
	json_open(json, "summary", '[');
	for (unsigned i = 0; i < report->options->engine_count && summary_is_wanted(report); i++) {
		const struct engine *engine = report->options->engines[i];
		struct summary summary = summary_of(report, engine);

		json_open(json, NULL, '{');
		json_string(json, "engine", engine->name);
		json_ratio(json, "wall_to_kernel", summary.wall_to_kernel);
		json_ratio(json, "wall_to_reap", summary.wall_to_reap);
		json_ratio(json, "first_to_reap", summary.first_to_reap);
		json_ratio(json, "recorded_faults_share", summary.recorded_faults);
		json_ratio(json, "demand_p99_to_verified", summary.demand_p99_to_verified);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void put_report(struct json *json, const void *context)
{
	const struct report *report = context;

	json_open(json, NULL, '{');
	report_machine(json, report->directory);
	put_calibration(json, &report->calibration);
	json_open(json, "runs", '[');
	for (size_t i = 0; i < report->run_count; i++) {
		json_open(json, NULL, '{');
		put_setting(json, report->options, &report->runs[i]);
		put_result(json, &report->runs[i]);
		json_close(json, '}');
	}
	json_close(json, ']');
	put_summary(json, report);
	json_close(json, '}');
}

int report_json_check(const char *path)
{
	return writable_check("--json", path);
}

int report_json(const struct report *report, const char *path)
{
	return report_file(path, put_report, report);
}
