# syntax=docker/dockerfile:1
FROM busybox
ARG A=1 B=$A C="x y"
RUN echo "$A $B $C" >/x
