FROM busybox
WORKDIR /a/b
RUN pwd >x
WORKDIR c
RUN pwd >x
WORKDIR ..
RUN pwd >y
