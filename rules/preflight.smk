"""Preflight: is everything ready for this study on this cluster? Runs here, makes nothing.

Needs: SLURM, for all but a part of it.
Makes: lines to read, results/logs/preflight.log
"""


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
