FROM alpine AS final
