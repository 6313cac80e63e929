FROM busybox
RUN echo shell $HOME >/a
RUN ["sh", "-c", "echo exec $0 >/b", "zero"]
RUN set -e; \
    # a comment
    echo one; \
\
    echo two >/c
