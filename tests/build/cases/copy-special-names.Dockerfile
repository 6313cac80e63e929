FROM scratch
COPY names /names/
