"""Shapes of the custom resources that we use, as their definitions publish them.

No package carries these definitions, so their fields are listed here: at each level that our manifests reach, every
field that there is; those that we use with what they hold. A misspelt or misplaced field fails; a wrong value of one
that is only listed does not. Read from CloudNativePG 1.27, the RabbitMQ cluster operator 2.17, the messaging topology
operator 1.17, KEDA 2.17, the Prometheus operator 0.85 and the Gateway API 1.2. Fields that are Kubernetes' own are
checked by its schemas.
"""

from typing import Any, Final

Schema = dict[str, Any]

DEFINITIONS: Final = "https://kubernetes.io/api/_definitions.json"

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Final[Schema] = {"type": "string", "pattern": r"^[0-9.]+(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
SECONDS: Final[Schema] = {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"}
PATH: Final[Schema] = {"type": "string", "pattern": "^/"}


def fields(required: str = "", others: str = "", **known: Schema) -> Schema:
    """An object: `known` fields with their shapes, `others` that may be there, of which `required` must."""
    properties = {**{name: {} for name in others.split()}, **known}
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def many(item: Schema, at_most: int | None = None) -> Schema:
    return {"type": "array", "items": item, "minItems": 1} | ({"maxItems": at_most} if at_most else {})


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def of_kubernetes(name: str) -> Schema:
    return {"$ref": f"{DEFINITIONS}#/$defs/io.k8s.api.{name}"}


RESOURCES: Final = of_kubernetes("core.v1.ResourceRequirements")
BROKER: Final = fields("name", "namespace connectionSecret", name=TEXT)
NAMED: Final = fields("name", name=TEXT)

CLUSTER: Final = fields(
    "instances",
    "backup certificates description enablePDB enableSuperuserAccess env envFrom ephemeralVolumeSource "
    "ephemeralVolumesSizeLimit externalClusters failoverDelay imageCatalogRef imageName imagePullPolicy "
    "imagePullSecrets livenessProbeTimeout logLevel managed maxSyncReplicas minSyncReplicas monitoring "
    "nodeMaintenanceWindow plugins postgresGID postgresUID primaryUpdateMethod primaryUpdateStrategy "
    "priorityClassName probes projectedVolumeTemplate replica replicationSlots schedulerName seccompProfile "
    "serviceAccountTemplate smartShutdownTimeout startDelay stopDelay superuserSecret switchoverDelay tablespaces "
    "topologySpreadConstraints",
    instances=COUNT,
    inheritedMetadata=fields(labels=TEXTS, annotations=TEXTS),
    bootstrap=fields(
        others="pg_basebackup recovery",
        initdb=fields(
            "",
            "builtinLocale encoding icuLocale icuRules import locale localeCType localeCollate localeProvider "
            "options postInitApplicationSQL postInitApplicationSQLRefs postInitSQL postInitSQLRefs "
            "postInitTemplateSQL postInitTemplateSQLRefs secret walSegmentSize",
            database=TEXT,
            owner=TEXT,
            dataChecksums=FLAG,
        ),
    ),
    postgresql=fields(
        others="enableAlterSystem extensions ldap pg_hba pg_ident promotionTimeout shared_preload_libraries "
        "syncReplicaElectionConstraint",
        parameters=TEXTS,
        synchronous=fields(
            "method number",
            "maxStandbyNamesFromCluster standbyNamesPost standbyNamesPre failoverQuorum",
            method=one_of("any", "first"),
            number=COUNT,
            dataDurability=one_of("required", "preferred"),
        ),
    ),
    affinity=fields(
        others="additionalPodAffinity additionalPodAntiAffinity nodeAffinity nodeSelector tolerations",
        enablePodAntiAffinity=FLAG,
        podAntiAffinityType=one_of("preferred", "required"),
        topologyKey=TEXT,
    ),
    storage=fields(others="pvcTemplate resizeInUseVolumes storageClass", size=QUANTITY),
    walStorage=fields(others="pvcTemplate resizeInUseVolumes storageClass", size=QUANTITY),
    resources=RESOURCES,
)

# An override holds parts of a pod, so none of a pod's own required fields are asked for.
CONTAINER_OVERRIDE: Final = fields(
    "name",
    "env image ports resources volumeMounts",
    name=TEXT,
    securityContext=of_kubernetes("core.v1.SecurityContext"),
)

RABBITMQ_CLUSTER: Final = fields(
    "",
    "autoEnableAllFeatureFlags delayStartSeconds disableDefaultTopologySpreadConstraints image imagePullSecrets "
    "secretBackend service skipPostDeploySteps terminationGracePeriodSeconds tls tolerations",
    replicas=COUNT,
    persistence=fields("", "storageClassName", storage=QUANTITY),
    resources=RESOURCES,
    affinity=of_kubernetes("core.v1.Affinity"),
    rabbitmq=fields(others="additionalPlugins advancedConfig envConfig erlangInetConfig", additionalConfig=TEXT),
    override=fields(
        others="service",
        statefulSet=fields(
            others="metadata",
            spec=fields(
                others="persistentVolumeClaimRetentionPolicy podManagementPolicy replicas selector serviceName "
                "updateStrategy volumeClaimTemplates",
                template=fields(
                    others="metadata",
                    spec=fields(
                        "containers",
                        "topologySpreadConstraints volumes",
                        securityContext=of_kubernetes("core.v1.PodSecurityContext"),
                        initContainers=many(CONTAINER_OVERRIDE),
                        containers=many(CONTAINER_OVERRIDE),
                    ),
                ),
            ),
        ),
    ),
)

USER: Final = fields(
    "rabbitmqClusterReference",
    "importCredentialsSecret limits",
    rabbitmqClusterReference=BROKER,
    tags=many(one_of("management", "policymaker", "monitoring", "administrator")),
)

PERMISSION: Final = fields(
    "permissions rabbitmqClusterReference vhost",
    "user",
    vhost=TEXT,
    userReference=NAMED,
    permissions=fields(configure=TEXT, write=TEXT, read=TEXT),
    rabbitmqClusterReference=BROKER,
)

RABBITMQ_TRIGGER: Final = fields(
    "queueName mode value",
    "activationValue excludeUnacknowledged hostFromEnv pageSize timeout unsafeSsl",
    protocol=one_of("auto", "amqp", "http"),
    host={"type": "string", "pattern": "^https?://[^@]+$"},  # names and passwords come by TriggerAuthentication
    vhostName=TEXT,
    queueName=TEXT,
    useRegex=one_of("true", "false"),
    operation=one_of("sum", "max", "avg"),
    mode=one_of(
        "QueueLength", "MessageRate", "DeliverGetRate", "PublishedToDeliveredRatio", "ExpectedQueueConsumptionTime"
    ),
    value={"type": "string", "pattern": "^[0-9.]+$"},
)

SCALED_OBJECT: Final = fields(
    "scaleTargetRef triggers",
    "advanced fallback idleReplicaCount initialCooldownPeriod",
    scaleTargetRef=fields("name", "apiVersion envSourceContainerName kind", name=TEXT),
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    pollingInterval=COUNT,
    cooldownPeriod=COUNT,
    triggers=many(
        fields(
            "type metadata",
            "metricType name useCachedMetrics",
            type=one_of("rabbitmq"),
            metadata=RABBITMQ_TRIGGER,
            authenticationRef=fields("name", "kind", name=TEXT),
        )
    ),
)

TRIGGER_AUTHENTICATION: Final = fields(
    "",
    "awsSecretManager azureKeyVault boundServiceAccountToken configMapTargetRef env filePath gcpSecretManager "
    "hashiCorpVault podIdentity",
    secretTargetRef=many(fields("parameter name key", parameter=one_of("username", "password"), name=TEXT, key=TEXT)),
)

RELABELING: Final = fields(
    "",
    "modulus separator",
    sourceLabels=many(TEXT),
    regex=TEXT,
    targetLabel=TEXT,
    replacement=TEXT,
    action=one_of("keep"),
)

SERVICE_MONITOR: Final = fields(
    "endpoints selector",
    "attachMetadata bodySizeLimit convertClassicHistogramsToNHCB fallbackScrapeProtocol keepDroppedTargets "
    "labelLimit labelNameLengthLimit labelValueLengthLimit namespaceSelector nativeHistogramBucketLimit "
    "nativeHistogramMinBucketFactor podTargetLabels sampleLimit scrapeClass scrapeClassicHistograms "
    "scrapeNativeHistograms scrapeProtocols selectorMechanism serviceDiscoveryRole targetLabels targetLimit",
    jobLabel=TEXT,
    selector={"$ref": f"{DEFINITIONS}#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"},
    endpoints=many(
        fields(
            "port",
            "authorization basicAuth bearerTokenFile bearerTokenSecret enableHttp2 filterRunning followRedirects "
            "honorLabels honorTimestamps noProxy oauth2 proxyConnectHeader proxyFromEnvironment proxyUrl scheme "
            "targetPort tlsConfig trackTimestampsStaleness",
            port=TEXT,
            path=PATH,
            interval=SECONDS,
            scrapeTimeout=SECONDS,
            params={"type": "object", "additionalProperties": many(TEXT)},
            relabelings=many(RELABELING),
            metricRelabelings=many(RELABELING),
        )
    ),
)

HTTP_ROUTE: Final = fields(
    "parentRefs rules",
    parentRefs=many(fields("name", "group kind port sectionName", name=TEXT, namespace=TEXT), 32),
    hostnames=many(TEXT, 16),
    rules=many(
        fields(
            "matches backendRefs",
            "name retry sessionPersistence",
            matches=many(
                fields(
                    "path",
                    "headers queryParams",
                    path=fields("type value", type=one_of("Exact", "PathPrefix", "RegularExpression"), value=PATH),
                    method=one_of("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
                ),
                64,
            ),
            filters=many(
                fields(
                    "type",
                    "cors extensionRef requestHeaderModifier requestMirror requestRedirect responseHeaderModifier",
                    type=one_of("URLRewrite"),
                    urlRewrite=fields(
                        others="hostname",
                        path=fields(
                            "type",
                            type=one_of("ReplaceFullPath", "ReplacePrefixMatch"),
                            replaceFullPath=PATH,
                            replacePrefixMatch=PATH,
                        ),
                    ),
                ),
                16,
            ),
            backendRefs=many(fields("name port", "filters group kind namespace weight", name=TEXT, port=COUNT), 16),
            timeouts=fields(request=SECONDS, backendRequest=SECONDS),
        ),
        16,
    ),
)

SPECS: Final[dict[tuple[str, str], Schema]] = {
    ("postgresql.cnpg.io/v1", "Cluster"): CLUSTER,
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): RABBITMQ_CLUSTER,
    ("rabbitmq.com/v1beta1", "User"): USER,
    ("rabbitmq.com/v1beta1", "Permission"): PERMISSION,
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED_OBJECT,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): TRIGGER_AUTHENTICATION,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): SERVICE_MONITOR,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): HTTP_ROUTE,
}
"""By API version and kind: the shape of `spec`."""
