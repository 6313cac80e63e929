FROM busybox
ARG D=dir U=7:8 F=a.txt
WORKDIR /$D/w
COPY --chown=$U $F ./$F.copy
USER $U
VOLUME /$D/v
EXPOSE ${P:-81}/tcp
LABEL l=$D m='$D'
STOPSIGNAL SIG${S:-INT}
