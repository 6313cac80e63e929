FROM busybox
RUN echo a \
  b >/x
ENV A=1
