FROM busybox AS one
ENV A=1
RUN echo one >/one
FROM one
RUN echo two >/two
