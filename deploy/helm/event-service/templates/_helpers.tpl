{{- define "event-service.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "event-service.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "event-service.labels" -}}
{{ include "event-service.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "event-service.secret" -}}
{{ .Values.secret.existing | default (include "event-service.name" .) }}
{{- end }}

{{- define "event-service.jwksSecret" -}}
{{ .Values.auth.existingSecret | default (printf "%s-jwks" (include "event-service.name" .)) }}
{{- end }}

{{- define "event-service.ready" -}}
{{- if .Values.tls.secret -}}
httpGet:
  path: /readyz
  port: http
  scheme: HTTPS
{{- else -}}
grpc:
  port: 50051
{{- end }}
{{- end }}
