# syntax=docker/dockerfile:1
FROM busybox
ENV A=/a/b/c.tar.gz
ENV R1=${A#*/} R2=${A##*/} R3=${A%.*} R4=${A%%.*} R5=${A/b/x} R6=${A//\//-}
