# syntax=docker/dockerfile:1
FROM busybox
ARG A=arg
COPY <<a.txt <<'b.txt' /d/
$A "quoted" \$A
a.txt
$A
b.txt
COPY --chmod=755 --chown=3:4 <<-EOF /script
	#!/bin/sh
	echo hi
	EOF
