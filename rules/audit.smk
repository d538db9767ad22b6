"""The audit of the finished study as a page: every file held against its record, lineage to click.

Needs: everything that `all` makes, what is in report/, saved verdicts of `audit.py reproduce` if there are any.
Makes: results/report/audit.html
"""

REPRODUCED = Path("results/audit/reproduced.json")


rule audit_page:
    input:
        TABLES,
        SPLIT_CHECKS,
        REPORT,
        "report/audit.html",
        "report/audit.js",
        "report/style.css",
        lambda wildcards: [str(REPRODUCED)] if REPRODUCED.exists() else [],
    output:
        AUDIT,
    log:
        "results/logs/audit_page.log",
    benchmark:
        "results/benchmarks/audit_page.tsv"
    conda:
        ENVIRONMENT
    params:
        made_by=made_by("cream/audit/commands/page.py"),
    shell:
        "python scripts/audit.py page --out {output:q} 2>&1 | tee {log:q}"
