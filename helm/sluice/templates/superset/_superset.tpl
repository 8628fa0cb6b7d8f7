{{/* Variables of every Superset process. */}}
{{- define "sluice.superset.env" -}}
{{- if .Values.postgresql.enabled }}
{{ include "sluice.secretVariable" (list . "POSTGRESQL_PASSWORD" "postgresql-password") }}
- name: SLUICE_METADATA_URL
  value: postgresql+psycopg2://superset:$(POSTGRESQL_PASSWORD)@{{ include "sluice.fullname" . }}-postgresql:5432/postgres
{{- else }}
{{ include "sluice.secretVariable" (list . "SLUICE_METADATA_URL" "metadata-url") }}
{{- end }}
{{- if .Values.redis.enabled }}
{{ include "sluice.secretVariable" (list . "REDIS_PASSWORD" "redis-password") }}
- name: SLUICE_REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "sluice.fullname" . }}-redis:6379
{{- else }}
{{ include "sluice.secretVariable" (list . "SLUICE_REDIS_URL" "redis-url") }}
{{- end }}
{{ include "sluice.secretVariable" (list . "SLUICE_SUPERSET_SECRET_KEY" "superset-secret-key") }}
{{ include "sluice.superset.lakeEnv" . }}
- name: SLUICE_LISTEN
  value: 0.0.0.0
- name: SLUICE_SUPERSET_PORT
  value: "8088"
- name: SLUICE_SUPERSET_URL
  value: http://{{ include "sluice.fullname" . }}-superset:{{ .Values.superset.service.port }}/
{{- with include "sluice.publicUrl" . }}
- name: SLUICE_SUPERSET_PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
- name: SLUICE_MAIL_HOST
  value: {{ include "sluice.mailHost" . | quote }}
- name: SLUICE_MAIL_PORT
  value: {{ ternary 8025 .Values.mail.port .Values.mail.sink | quote }}
- name: SLUICE_MAIL_FROM
  value: {{ .Values.mail.from | quote }}
{{- if not .Values.mail.sink }}
- name: SLUICE_MAIL_STARTTLS
  value: {{ ternary "1" "0" .Values.mail.starttls | quote }}
{{- with .Values.mail.username }}
- name: SLUICE_MAIL_USER
  value: {{ . | quote }}
{{ include "sluice.secretVariable" (list $ "SLUICE_MAIL_PASSWORD" "mail-password") }}
{{- end }}
{{- end }}
- name: SLUICE_BROWSER_SANDBOX
  value: {{ ternary "1" "0" .Values.security.browserSandbox | quote }}
{{- range $name, $value := .Values.superset.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "sluice.superset.lakeEnv" -}}
{{- with .Values.lake.objectStore -}}
{{ include "sluice.lakeEnv" (list $ (default .secret .readOnlySecret)) }}
{{- end -}}
{{- end -}}

{{- define "sluice.superset.mounts" -}}
- {name: home, mountPath: /var/lib/sluice}
- {name: tmp, mountPath: /tmp}
{{- if not .Values.lake.url }}
- {name: lake, mountPath: /lake, readOnly: true}
- {name: lake, mountPath: /var/lib/sluice/quality, subPath: _quality, readOnly: true}
{{- end }}
{{- end -}}

{{- define "sluice.superset.volumes" -}}
- name: home
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- include "sluice.lakeVolume" . }}
{{- end -}}

{{/* What must be there first: the tables, for those who show them; metadata of this release; the catalogue. */}}
{{- define "sluice.superset.initContainers" -}}
- name: tables
  {{- include "sluice.imageLines" (list . "jobs") | nindent 2 }}
  {{- include "sluice.container" . | nindent 2 }}
  args: [sluice, await-tables]
  env:
    {{- include "sluice.superset.lakeEnv" . | nindent 4 }}
  volumeMounts:
    {{- include "sluice.superset.mounts" . | nindent 4 }}
  resources:
    requests: {cpu: 20m, memory: 128Mi}
    limits: {memory: 512Mi}
{{ include "sluice.superset.await" . }}
- name: catalogue
  {{- include "sluice.imageLines" (list . "superset") | nindent 2 }}
  {{- include "sluice.container" . | nindent 2 }}
  args:
    - sh
    - -ec
    - mkdir -p "$SUPERSET_HOME" && python superset/catalogue.py "$SLUICE_LAKE" "$SUPERSET_HOME/lake.duckdb"
  env:
    {{- include "sluice.superset.lakeEnv" . | nindent 4 }}
  volumeMounts:
    {{- include "sluice.superset.mounts" . | nindent 4 }}
  resources:
    requests: {cpu: 20m, memory: 128Mi}
    limits: {memory: 512Mi}
{{- end -}}

{{- define "sluice.superset.await" -}}
- name: metadata
  {{- include "sluice.imageLines" (list . "superset") | nindent 2 }}
  {{- include "sluice.container" . | nindent 2 }}
  args: [python, superset/initialized.py, wait, {{ include "sluice.image" (list . "superset") | quote }}]
  env:
    {{- include "sluice.superset.env" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
  resources:
    requests: {cpu: 20m, memory: 32Mi}
    limits: {memory: 128Mi}
{{- end -}}
