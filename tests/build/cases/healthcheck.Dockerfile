FROM busybox
HEALTHCHECK --interval=5s --timeout=1m30s --start-period=2s --retries=4 CMD test -e /x
