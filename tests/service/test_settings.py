import pytest

from models.hardware import available_cores
from service.runtime.hardware import count_workers
from service.settings import Settings, SettingsError, load_settings


def test_a_wrong_value_is_named_with_its_variable_and_rule(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MAX_QUEUE", "many")
    monkeypatch.setenv("CLASSIFIER_DEVICE", "gpu")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "CLASSIFIER_MAX_QUEUE=many" in str(error.value)
    assert "integer" in str(error.value)
    assert "CLASSIFIER_DEVICE=gpu" in str(error.value)
    assert "'cuda'" in str(error.value)


def test_the_environment_sets_a_value(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MAX_BATCH_SIZE", "7")
    assert load_settings().max_batch_size == 7


@pytest.mark.parametrize("name", ["WORKERS", "MAX_BATCH_SIZE", "MAX_QUEUE", "DEADLINE_MS", "MAX_PIXELS"])
def test_zero_is_refused_where_it_means_nothing(monkeypatch, name):
    monkeypatch.setenv(f"CLASSIFIER_{name}", "0")
    with pytest.raises(SettingsError, match=f"CLASSIFIER_{name}=0: .*greater than 0"):
        load_settings()


def test_a_models_folder_that_is_not_there_stops_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("CLASSIFIER_MODELS_DIR", str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match=r"CLASSIFIER_MODELS_DIR=.*gone"):
        load_settings()


def test_every_setting_says_what_it_does():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_without_a_gpu_there_is_a_worker_a_core():
    assert count_workers(Settings(device="cpu")) == available_cores() >= 1
    assert count_workers(Settings(workers=3)) == 3


def test_a_variable_that_is_no_setting_stops_the_start(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MAX_QUEU", "5")
    with pytest.raises(SettingsError, match=r"CLASSIFIER_MAX_QUEU: no such setting, expected one of .*MAX_QUEUE,"):
        load_settings()


def test_what_kubernetes_sets_beside_a_service_of_our_name_is_no_error(monkeypatch):
    for name in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_3000_TCP_ADDR"):
        monkeypatch.setenv(f"CLASSIFIER_{name}", "tcp://10.0.0.1:3000")
    load_settings()
