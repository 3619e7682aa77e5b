"""boto3 and botocore: Amazon Bedrock's models, through the Converse API and through InvokeModel.

`BaseClient._make_api_call` sees every operation of every service, above botocore's own retries. Calls of agents, flows
and knowledge bases (`bedrock-agent-runtime`) are seen too; AWS bills them by what they do, which no response says.
"""

from __future__ import annotations

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._base import Patchable, Sdk
from otel_agentcost.integrations.sdks._bedrock import BedrockSeam

SDK = Sdk(
    name="boto3",
    distribution="boto3",
    oldest="1.40",
    patches=(
        Patchable(
            target=Target(module="botocore.client", owner="BaseClient", method="_make_api_call"),
            seam=BedrockSeam(),
            through=Pipeline.call,
        ),
    ),
)
