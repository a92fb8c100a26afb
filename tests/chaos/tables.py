"""moto's DynamoDB without its wire: writing and reading HTTP is nine tenths of what a call takes."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.exceptions import DynamodbException
from moto.dynamodb.models.utilities import dynamo_json_dump
from moto.dynamodb.responses import DynamoHandler

from tests.contract.deployment import REGION


class Tables:
    """Answers a client's call as moto's server does."""

    def __init__(self) -> None:
        self._handler = DynamoHandler()
        self._handler.current_account = DEFAULT_ACCOUNT_ID
        self._handler.region = REGION

    def answer(self, client: Any, operation: str, params: Any) -> Any:
        """Raises the client's exceptions."""
        self._handler.body = copy.deepcopy(params)
        action = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        try:
            found = getattr(self._handler, action)()
        except DynamodbException as error:
            told = json.loads(error.description)
            code = told["__type"].rpartition("#")[2]
            answer = {**told, "Error": {"Code": code, "Message": told.get("message") or told.get("Message", "")}}
            raise client.exceptions.from_code(code)(answer, operation) from error
        return json.loads(dynamo_json_dump(found.result))
