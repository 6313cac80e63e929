FROM busybox
RUN mkdir /real && ln -s /real /to
ADD archive.tar /to/
