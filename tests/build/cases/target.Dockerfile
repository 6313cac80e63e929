FROM busybox AS one
RUN echo one >/one
FROM one AS two
RUN echo two >/two
FROM two AS three
RUN false
