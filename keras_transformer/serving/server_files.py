"""The files of `server-config`, with the reason for each setting beside it."""

BATCHING = """\
# Requests that arrive within 5 ms are answered together.
max_batch_size {{ value: {max_batch_size} }}
batch_timeout_micros {{ value: 5000 }}
num_batch_threads {{ value: {threads} }}
# Requests above that are refused at once, rather than kept waiting.
max_enqueued_batches {{ value: 100 }}
# token_ids: rows of unequal length; their lengths come beside them.
pad_variable_length_inputs: true
"""

MONITORING = """\
# Counters of requests and times, for Prometheus, at the REST port.
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

# Asks for each model's state, as the image has no curl: fails if one isn't available.
HEALTH = (
    "for model in MODELS; do "
    "exec 3<>/dev/tcp/127.0.0.1/8501 || exit 1; "
    r'printf "GET /v1/models/%s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$model" >&3; '
    r'grep -q "\"AVAILABLE\"" <&3 || exit 1; '
    "done"
)

FLAGS = """\
- --port=8500
- --rest_api_port=8501
- --model_config_file={configs}/models.config
# Models that are added to the file are loaded without a restart.
- --model_config_file_poll_wait_seconds=60
- --enable_batching=true
- --batching_parameters_file={configs}/batching.config
- --monitoring_config_file={configs}/monitoring.config
# REST joins no more texts than it has threads; the default is 4 x cores.
- --rest_api_num_threads={rest_threads}
# With the default, 0, one broken version keeps all models from being loaded.
- --num_load_threads=4
# A version that fails is tried again after 5 s, and not five times after a minute each:
# REST stays closed until all models are there, or one has failed for good.
- --max_num_load_retries=2
- --load_retry_interval_micros=5000000
# {reason}
- --tensorflow_intra_op_parallelism={intra_op}
- --tensorflow_inter_op_parallelism={threads}
"""

COMPOSE = """\
# docker compose up: gRPC on port 8500, REST on port 8501.
services:
  translate:
    # Any newer version does as well.
    image: "{image}"
    entrypoint: ["/usr/bin/tensorflow_model_server"]
    command:
{flags}
    # The server has no authentication: only what may reach these ports may ask it.
    ports: ["{address}8500:8500", "{address}8501:8501"]
    volumes: [".:/models:ro"]
    # The C library keeps less of what its threads have freed: about 100 MB.
    environment: {{MALLOC_ARENA_MAX: "2"}}
    # As process 1 the server ignores SIGTERM, and would be killed.
    init: true
    stop_grace_period: 30s
    # A model that can't be loaded at the start ends the server.
    restart: unless-stopped
    # The server, its models, and one model's next version beside it.
    mem_limit: {megabytes}m
    healthcheck:
      test: ["CMD", "bash", "-c", {health}]
      interval: 10s
      timeout: 5s
      retries: 3
      # Loading takes as long as the warm-up does.
      start_period: 300s
"""

KUBERNETES = """\
# kubectl apply -f kubernetes.yaml
# The models lie in a volume "saved-models", which you make: as this folder, NAME/1/...
apiVersion: v1
kind: ConfigMap
metadata:
  name: translate
data:
{data}---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: translate
spec:
  selector:
    matchLabels: {{app: translate}}
  strategy:
    type: RollingUpdate
    # An old server goes when a new one is ready.
    rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata:
      labels: {{app: translate}}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "8501"
        prometheus.io/path: /monitoring/prometheus/metrics
    spec:
      # Otherwise the server is process 1 of its container, and ignores SIGTERM.
      shareProcessNamespace: true
      terminationGracePeriodSeconds: 60
      containers:
        - name: server
          image: "{image}"
          command: ["/usr/bin/tensorflow_model_server"]
          args:
{flags}
          # The C library keeps less of what its threads have freed: about 100 MB.
          env: [{{name: MALLOC_ARENA_MAX, value: "2"}}]
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          # REST answers when all models are loaded and warm, which may take minutes.
          startupProbe:
            httpGet: {{path: /v1/models/{first}, port: rest}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 60
          readinessProbe:
            httpGet: {{path: /v1/models/{first}, port: rest}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 2
          # A server whose threads all wait for good is started anew.
          livenessProbe:
            httpGet: {{path: /v1/models/{first}, port: rest}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          lifecycle:
            # Requests under way are lost at SIGTERM: first no new ones, then that.
            preStop:
              exec: {{command: ["sleep", "15"]}}
          resources:
            requests: {{cpu: "{threads}", memory: {megabytes}Mi}}
            limits: {{memory: {megabytes}Mi}}
          volumeMounts:
            - {{name: models, mountPath: /models, readOnly: true}}
            - {{name: config, mountPath: /config, readOnly: true}}
      volumes:
        - name: models
          persistentVolumeClaim: {{claimName: saved-models, readOnly: true}}
        - name: config
          configMap: {{name: translate}}
---
# Reached from inside the cluster only: the server has no authentication.
apiVersion: v1
kind: Service
metadata:
  name: translate
spec:
  selector: {{app: translate}}
  ports:
    - {{name: grpc, port: 8500, targetPort: grpc}}
    - {{name: rest, port: 8501, targetPort: rest}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: translate
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: translate}}
  minReplicas: 1
  maxReplicas: 8
  metrics:
    # Requests a second of each server, from :tensorflow:serving:request_count by way of
    # the Prometheus adapter. Set the value to half of what one server of yours answers.
    - type: Pods
      pods:
        metric: {{name: tensorflow_serving_requests_per_second}}
        target: {{type: AverageValue, averageValue: "50"}}
    # Without that adapter, processors alone decide.
    - type: Resource
      resource:
        name: cpu
        target: {{type: Utilization, averageUtilization: 70}}
"""
