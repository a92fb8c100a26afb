"""The official client against the fake: what it takes for an answer, the fake really answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import InferenceClient, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.inference._client import InferenceTimeoutError
from huggingface_hub.inference._providers import PROVIDERS, hf_inference

from tests.providers.huggingface import CHATS, DESCRIBES, DRAWS, HEARS, MODELS, HuggingFace, picture
from tests.providers.serving import serving


def model_of(task: str) -> str:
    return next(model for model, its_task in MODELS.items() if its_task == task)


@pytest.fixture
def fake() -> HuggingFace:
    return HuggingFace()


@pytest.fixture
def url(fake: HuggingFace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(fake.app()) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", url + "/{provider}")
        for helper in PROVIDERS["hf-inference"].values():
            monkeypatch.setattr(helper, "base_url", f"{url}/hf-inference")
        hf_inference._check_supported_task.cache_clear()
        yield url


def client(**options: object) -> InferenceClient:
    return InferenceClient(**{"provider": "hf-inference", "api_key": "hf_key", "timeout": 5, **options})


def test_a_picture(fake: HuggingFace, url: str) -> None:
    asked: dict[str, object] = {"width": 32, "height": 16, "num_inference_steps": 4, "seed": 7}
    response = client()._inner_post(
        _prepared(DRAWS, "a fox", **asked)  # `text_to_image` decodes with PIL, which this environment has not.
    )
    assert response.startswith(b"\x89PNG")
    sent = fake.requests[-1]
    assert sent["body"] == {"inputs": "a fox", "parameters": asked}
    assert sent["headers"]["accept"] == "image/png"
    assert fake.runs == {model_of(DRAWS): 1}


def _prepared(task: str, inputs: str, **parameters: object) -> object:
    helper = hf_inference.HFInferenceTask(task)
    return helper.prepare_request(
        inputs=inputs, parameters=parameters, headers={}, model=model_of(task), api_key="hf_key"
    )


def test_a_caption(fake: HuggingFace, url: str, tmp_path: Path) -> None:
    content = picture(8, 8, 0)
    (tmp_path / "a.png").write_bytes(content)
    caption = client(model=model_of(DESCRIBES)).image_to_text(tmp_path / "a.png")
    assert caption.generated_text == f"a file of {len(content)} bytes"
    assert fake.requests[-1]["body"] == content
    assert fake.requests[-1]["headers"]["content-type"] == "image/png"


def test_speech(fake: HuggingFace, url: str) -> None:
    heard = client(model=model_of(HEARS))
    assert heard.automatic_speech_recognition(b"RIFF1234WAVE").text == "12 bytes of speech"
    again = heard.automatic_speech_recognition(b"RIFF1234WAVE", extra_body={"return_timestamps": False})
    assert again.text == "12 bytes of speech"
    assert fake.requests[-1]["body"].keys() == {"inputs", "parameters"}


@pytest.mark.parametrize("through", ["hf-inference", "the router"])
def test_a_chat(fake: HuggingFace, url: str, through: str) -> None:
    options = {"model": model_of(CHATS)} if through == "hf-inference" else {"base_url": f"{url}/v1", "provider": None}
    picture_part = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    reply = client(**options).chat_completion(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [picture_part, {"type": "text", "text": "a fox"}]},
        ],
        model=model_of(CHATS) if through == "the router" else None,
        temperature=0.5,
    )
    assert reply.choices[0].message.content == "a fox? I saw 1 pictures."
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert fake.requests[-1]["body"]["temperature"] == 0.5


def test_who_pays(fake: HuggingFace, url: str) -> None:
    client(model=model_of(HEARS), bill_to="an-org").automatic_speech_recognition(b"x")
    assert fake.requests[-1]["headers"]["x-hf-bill-to"] == "an-org"


@pytest.mark.parametrize(
    ("fault", "status"), [("refuse", 400), ("credits", 402), ("throttle", 429), ("loading", 503), ("broken", 502)]
)
def test_refusals(fake: HuggingFace, url: str, fault: str, status: int) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        client()._inner_post(_prepared(DRAWS, f"a fox [fault:{fault}]"))
    assert caught.value.response.status_code == status
    assert sum(fake.runs.values()) == (status == 502)


def test_an_answer_that_is_cut_or_late(fake: HuggingFace, url: str) -> None:
    with pytest.raises(Exception, match="closed connection without sending complete"):
        client()._inner_post(_prepared(DRAWS, "a fox [fault:cut]"))
    with pytest.raises(InferenceTimeoutError):
        client(timeout=0.3)._inner_post(_prepared(DRAWS, "a fox [fault:hang]"))
    assert sum(fake.runs.values()) == 2


def test_a_wrong_key_and_an_unknown_model(fake: HuggingFace, url: str) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        client(api_key="hf_other", model=model_of(HEARS)).automatic_speech_recognition(b"x")
    assert caught.value.response.status_code == 401
    with pytest.raises(HfHubHTTPError, match=r"not found|Not Found"):
        client(model="no/such").automatic_speech_recognition(b"x")
    assert not fake.runs
