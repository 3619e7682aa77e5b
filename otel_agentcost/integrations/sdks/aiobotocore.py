"""aiobotocore: the asynchronous client of Amazon Bedrock's models, also below aioboto3 and langchain-aws."""

from __future__ import annotations

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._base import Patchable, Sdk
from otel_agentcost.integrations.sdks._bedrock import BedrockSeam

SDK = Sdk(
    name="aiobotocore",
    distribution="aiobotocore",
    oldest="3.10",
    patches=(
        Patchable(
            target=Target(module="aiobotocore.client", owner="AioBaseClient", method="_make_api_call"),
            seam=BedrockSeam(),
            through=Pipeline.call_async,
        ),
    ),
)
