FROM busybox AS a
ONBUILD ENV T=1
ONBUILD RUN echo trigger $T >/t
ONBUILD COPY a.txt /
FROM a AS b
RUN cp /t /u
FROM b
