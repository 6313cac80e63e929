FROM busybox
ENV A=1 B="two words" C=three\ words D='$A'
ENV E the rest = of it
ENV F=$A G="$B" H=\$A I=
RUN env | grep '^[A-I]=' | sort >/x
