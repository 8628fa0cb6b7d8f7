{{/* Variables of everything that runs from the jobs' image. */}}
{{- define "sluice.jobs.env" -}}
{{ include "sluice.jobs.lakeEnv" . }}
- name: SLUICE_KAFKA
  value: {{ include "sluice.bootstrapServers" . | quote }}
{{- with .Values.kafka.security }}
{{- if ne .protocol "PLAINTEXT" }}
- name: SLUICE_KAFKA_SECURITY_PROTOCOL
  value: {{ .protocol }}
{{- if hasPrefix "SASL" .protocol }}
- name: SLUICE_KAFKA_SASL_MECHANISM
  value: {{ .mechanism }}
- name: SLUICE_KAFKA_USERNAME
  value: {{ required "kafka.security.username: which user, for the protocol is SASL's?" .username }}
{{ include "sluice.secretVariable" (list $ "SLUICE_KAFKA_PASSWORD" "kafka-password") }}
{{- end }}
{{- if .certificateAuthority }}
- name: SLUICE_KAFKA_CA_FILE
  value: /etc/sluice/kafka/ca.crt
{{- end }}
{{- end }}
{{- end }}
- name: SLUICE_TOPIC_PARTITIONS
  value: {{ .Values.kafka.topics.partitions | quote }}
- name: SLUICE_TOPIC_REPLICAS
  value: {{ .Values.kafka.topics.replicas | quote }}
- name: SLUICE_TOPIC_RETENTION_HOURS
  value: {{ .Values.kafka.topics.retentionHours | quote }}
- name: SLUICE_PSEUDONYM_KEY_FILE
  value: /etc/sluice/secrets/pseudonym-key
- name: SLUICE_LISTEN
  value: 0.0.0.0
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "sluice.jobs.lakeEnv" -}}
{{ include "sluice.lakeEnv" (list . .Values.lake.objectStore.secret) }}
{{- end -}}

{{- define "sluice.jobs.mounts" -}}
- {name: home, mountPath: /var/lib/sluice}
- {name: tmp, mountPath: /tmp}
{{- if not .Values.lake.url }}
- {name: lake, mountPath: /lake}
- {name: lake, mountPath: /var/lib/sluice/quality, subPath: _quality}
{{- end }}
- {name: secrets, mountPath: /etc/sluice/secrets, readOnly: true}
{{- if .Values.kafka.security.certificateAuthority }}
- {name: kafka-authority, mountPath: /etc/sluice/kafka, readOnly: true}
{{- end }}
{{- end -}}

{{- define "sluice.jobs.volumes" -}}
- name: home
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- include "sluice.lakeVolume" . }}
- name: secrets
  secret:
    secretName: {{ include "sluice.secret" . }}
    defaultMode: 0440
    items:
      - {key: pseudonym-key, path: pseudonym-key}
{{- with .Values.kafka.security.certificateAuthority }}
- name: kafka-authority
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}

{{/* Spark properties of executors that do not depend on who makes them, as JSON; of `jobs.executors`. */}}
{{- define "sluice.jobs.executorConf" -}}
{{- $executors := . -}}
{{- $conf := dict "spark.executor.extraJavaOptions" "-XX:+UseG1GC -Duser.timezone=UTC" -}}
{{- with $executors.cpuRequest -}}
{{- $_ := set $conf "spark.kubernetes.executor.request.cores" . -}}
{{- end -}}
{{- if $executors.localVolume -}}
{{- $claim := "spark.kubernetes.executor.volumes.persistentVolumeClaim.spark-local-dir-1" -}}
{{- $_ := set $conf (printf "%s.mount.path" $claim) "/var/lib/sluice/local" -}}
{{- $_ := set $conf (printf "%s.mount.readOnly" $claim) "false" -}}
{{- $_ := set $conf (printf "%s.options.claimName" $claim) "OnDemand" -}}
{{- $_ := set $conf (printf "%s.options.storageClass" $claim) $executors.localVolume.storageClass -}}
{{- $_ := set $conf (printf "%s.options.sizeLimit" $claim) $executors.localVolume.size -}}
{{- end -}}
{{- with $executors.dynamicAllocation -}}
{{- if .enabled -}}
{{- $_ := set $conf "spark.dynamicAllocation.enabled" "true" -}}
{{- /* There is no external shuffle service on Kubernetes: an executor stays while its shuffle files are needed. */ -}}
{{- $_ := set $conf "spark.dynamicAllocation.shuffleTracking.enabled" "true" -}}
{{- $_ := set $conf "spark.dynamicAllocation.minExecutors" (.minimum | toString) -}}
{{- $_ := set $conf "spark.dynamicAllocation.maxExecutors" (.maximum | toString) -}}
{{- end -}}
{{- end -}}
{{- $conf | toJson -}}
{{- end -}}

{{/* Spark properties of a driver, as JSON: (list $ jobs), where jobs has a driver's own values merged in. */}}
{{- define "sluice.jobs.sparkConf" -}}
{{- $root := index . 0 -}}
{{- $jobs := index . 1 -}}
{{- $conf := dict -}}
{{- if $jobs.executors.enabled -}}
{{- $executors := $jobs.executors -}}
{{- $conf = dict
  "spark.driver.host" "$(POD_IP)"
  "spark.driver.bindAddress" "0.0.0.0"
  "spark.driver.port" "7078"
  "spark.driver.blockManager.port" "7079"
  "spark.kubernetes.namespace" $root.Release.Namespace
  "spark.kubernetes.driver.pod.name" "$(POD_NAME)"
  "spark.kubernetes.container.image" (include "sluice.image" (list $root "jobs"))
  "spark.kubernetes.container.image.pullPolicy" $root.Values.image.pullPolicy
  "spark.kubernetes.executor.podTemplateFile" "/etc/sluice/executor/pod.yaml"
  "spark.kubernetes.executor.podTemplateContainerName" "executor"
  "spark.executor.instances" ($executors.instances | toString)
  "spark.executor.cores" ($executors.cores | toString)
  "spark.executor.memory" $executors.memory
  "spark.executor.memoryOverhead" $executors.memoryOverhead
-}}
{{- $conf = merge $conf (include "sluice.jobs.executorConf" $executors | fromJson) -}}
{{- end -}}
{{- merge (deepCopy $jobs.sparkConf) $conf | toJson -}}
{{- end -}}

{{/* What makes the topics that are missing, before a driver starts. */}}
{{- define "sluice.jobs.topics" -}}
- name: topics
  {{- include "sluice.imageLines" (list $ "jobs") | nindent 2 }}
  {{- include "sluice.container" $ | nindent 2 }}
  args: [sluice, topics]
  env:
    {{- include "sluice.jobs.env" $ | nindent 4 }}
  volumeMounts:
    {{- include "sluice.jobs.mounts" $ | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {memory: 512Mi}
{{- end -}}

{{/* Memory as Java or Kubernetes write it, 2g or 4Gi, in MiB. */}}
{{- define "sluice.mebibytes" -}}
{{- $factors := dict "k" 0.0009765625 "m" 1.0 "g" 1024.0 "t" 1048576.0 -}}
{{- $unit := . | lower | regexFind "[kmgt]" -}}
{{- mulf (. | regexFind "^[0-9.]+" | float64) (get $factors $unit | default 0.00000095367431640625) | int -}}
{{- end -}}

{{- define "sluice.jobs.probes" -}}
startupProbe:
  exec:
    command: [sluice, alive, --within, {{ .alive.within | quote }}]
  initialDelaySeconds: 15
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: {{ max 1 (div (int .alive.startup) 10) }}
livenessProbe:
  exec:
    command: [sluice, alive, --within, {{ .alive.within | quote }}]
  periodSeconds: 60
  timeoutSeconds: 30
  failureThreshold: 2
{{- end -}}

{{/* Variables of a driver: (list $ jobs). The first three stand in the last one. */}}
{{- define "sluice.jobs.driverEnv" -}}
{{- $root := index . 0 -}}
{{- $jobs := index . 1 -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: SLUICE_DRIVER_MEMORY
  value: {{ $jobs.driverMemory | quote }}
- name: SLUICE_SPARK_MASTER
  value: {{ ternary "k8s://https://kubernetes.default.svc" $jobs.master $jobs.executors.enabled | quote }}
- name: SLUICE_SPARK_CONF
  value: {{ include "sluice.jobs.sparkConf" . | quote }}
{{- end -}}
