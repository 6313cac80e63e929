from busybox as Build
run echo x >/x
from scratch
copy --from=build /x /
