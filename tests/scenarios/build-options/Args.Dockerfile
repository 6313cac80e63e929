FROM alpine
ARG GIVEN=default
ARG INHERITED=default
ARG MISSING=default
RUN echo $GIVEN $INHERITED $MISSING >/args
CMD cat /args
