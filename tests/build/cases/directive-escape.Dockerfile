# escape=`
FROM busybox
RUN echo one `
  two >/x
ENV A=c:\dir
