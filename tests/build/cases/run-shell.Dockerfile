FROM busybox
SHELL ["/bin/sh", "-euc"]
RUN echo $- >/x
CMD echo hi
