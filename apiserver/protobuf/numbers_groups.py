"""Field numbers of meta/v1 and of the groups of workloads, storage and the cluster.

How to read a row: `apiserver.protobuf.numbers`.
"""

META = {
    "ObjectMeta": (
        "name=1 generateName=2 namespace=3 selfLink=4 uid=5 resourceVersion=6 generation=7 creationTimestamp=8 "
        "deletionTimestamp=9 deletionGracePeriodSeconds=10 labels=11 annotations=12 ownerReferences=13 "
        "finalizers=14 managedFields=17"
    ),
    "OwnerReference": "kind=1 name=3 uid=4 apiVersion=5 controller=6 blockOwnerDeletion=7",
    "ManagedFieldsEntry": "manager=1 operation=2 apiVersion=3 time=4 fieldsType=6 fieldsV1=7 subresource=8",
    "LabelSelector": "matchLabels=1 matchExpressions=2",
    "LabelSelectorRequirement": "key=1 operator=2 values=3",
    "Condition": "type=1 status=2 observedGeneration=3 lastTransitionTime=4 reason=5 message=6",
    "DeleteOptions": (
        "gracePeriodSeconds=1 preconditions=2 orphanDependents=3 propagationPolicy=4 dryRun=5 "
        "ignoreStoreReadErrorWithClusterBreakingPotential=6"
    ),
    "Preconditions": "uid=1 resourceVersion=2",
}

APPS = {
    "Deployment": "metadata=1 spec=2 status=3",
    "DeploymentSpec": (
        "replicas=1 selector=2 template=3 strategy=4 minReadySeconds=5 revisionHistoryLimit=6 paused=7 "
        "progressDeadlineSeconds=9"
    ),
    "DeploymentStrategy": "type=1 rollingUpdate=2",
    "RollingUpdateDeployment": "maxUnavailable=1 maxSurge=2",
    "DeploymentStatus": (
        "observedGeneration=1 replicas=2 updatedReplicas=3 availableReplicas=4 unavailableReplicas=5 conditions=6 "
        "readyReplicas=7 collisionCount=8 terminatingReplicas=9"
    ),
    "DeploymentCondition": "type=1 status=2 reason=4 message=5 lastUpdateTime=6 lastTransitionTime=7",
    "ReplicaSet": "metadata=1 spec=2 status=3",
    "ReplicaSetSpec": "replicas=1 selector=2 template=3 minReadySeconds=4",
    "ReplicaSetStatus": (
        "replicas=1 fullyLabeledReplicas=2 observedGeneration=3 readyReplicas=4 availableReplicas=5 conditions=6 "
        "terminatingReplicas=7"
    ),
    "ReplicaSetCondition": "type=1 status=2 lastTransitionTime=3 reason=4 message=5",
}

POLICY = {
    "Eviction": "metadata=1 deleteOptions=2",
}

AUTOSCALING = {
    "Scale": "metadata=1 spec=2 status=3",
    "ScaleSpec": "replicas=1",
    "ScaleStatus": "replicas=1 selector=2",
}

SCHEDULING = {
    "PriorityClass": "metadata=1 value=2 globalDefault=3 description=4 preemptionPolicy=5",
}

STORAGE = {
    "StorageClass": (
        "metadata=1 provisioner=2 parameters=3 reclaimPolicy=4 mountOptions=5 allowVolumeExpansion=6 "
        "volumeBindingMode=7 allowedTopologies=8"
    ),
    "TopologySelectorTerm": "matchLabelExpressions=1",
    "TopologySelectorLabelRequirement": "key=1 values=2",
}

COORDINATION = {
    "Lease": "metadata=1 spec=2",
    "LeaseSpec": (
        "holderIdentity=1 leaseDurationSeconds=2 acquireTime=3 renewTime=4 leaseTransitions=5 strategy=6 "
        "preferredHolder=7"
    ),
}

DISCOVERY = {
    "EndpointSlice": "metadata=1 endpoints=2 ports=3 addressType=4",
    "Endpoint": "addresses=1 conditions=2 hostname=3 targetRef=4 deprecatedTopology=5 nodeName=6 zone=7 hints=8",
    "EndpointConditions": "ready=1 serving=2 terminating=3",
    "EndpointHints": "forZones=1 forNodes=2",
    "ForZone": "name=1",
    "ForNode": "name=1",
    "EndpointPort": "name=1 protocol=2 port=3 appProtocol=4",
}

EVENTS = {
    "Event": (
        "metadata=1 eventTime=2 series=3 reportingController=4 reportingInstance=5 action=6 reason=7 regarding=8 "
        "related=9 note=10 type=11 deprecatedSource=12 deprecatedFirstTimestamp=13 deprecatedLastTimestamp=14 "
        "deprecatedCount=15"
    ),
    "EventSeries": "count=1 lastObservedTime=2",
}
