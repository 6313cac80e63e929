FROM busybox
RUN mkdir /real && ln -s /real /to && ln -s real /rel
COPY a.txt /to/
COPY b.txt /rel/b
COPY dir /to
