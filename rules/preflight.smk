"""Preflight: is everything ready for this study on this cluster? Runs here, makes nothing.

Needs: SLURM, for all but a part of it.
Makes: lines to read, results/logs/preflight.log
"""

SITE_KEYS = ("slurm_partition", "gpu_partition", "gpu_request", "slurm_account")


def preflight_flags(wildcards):
    """The settings and the site as Snakemake has them; without a profile for SLURM, slurm/profile.yaml is read."""
    settings = workflow.config_settings
    words = [*map(os.path.relpath, settings.configfiles)]
    asked = {"config": dict(settings.config)} if settings.config else {}
    if set(SITE_KEYS) & set(SITE):
        execution = workflow.execution_settings
        site = {name: SITE[name] for name in SITE_KEYS if name in SITE} | {
            "retries": execution.retries,
            "latency_wait": execution.latency_wait,
            "status_command": getattr(workflow.executor_settings, "status_command", None),
        }
        asked["site"] = site
    return " ".join(filter(None, [shlex.join(words), flags(**asked)]))


rule preflight:
    log:
        "results/logs/preflight.log",
    retries: 0
    conda:
        ENVIRONMENT
    params:
        flags=preflight_flags,
    shell:
        "python scripts/preflight.py {params.flags} 2>&1 | tee {log:q}"
