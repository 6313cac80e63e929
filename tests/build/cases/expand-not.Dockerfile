FROM busybox
ARG A=1
CMD ["echo", "$A"]
ENTRYPOINT echo $A
HEALTHCHECK CMD echo $A
ONBUILD RUN echo $A
