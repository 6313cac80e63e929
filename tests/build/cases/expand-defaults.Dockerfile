# syntax=docker/dockerfile:1
FROM busybox
ENV A=a E=
ENV R1=${A:-d} R2=${X:-d} R3=${E:-d} R4=${E-d} R5=${A:+y} R6=${X:+y}.
