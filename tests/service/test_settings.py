import pytest

from models.hardware import available_cores
from service.runtime.hardware import count_workers
from service.settings import Settings, SettingsError, load_settings


def test_error_names_the_variable_value_and_rule(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MAX_QUEUE", "many")
    monkeypatch.setenv("CLASSIFIER_DEVICE", "gpu")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "CLASSIFIER_MAX_QUEUE=many" in str(error.value)
    assert "integer" in str(error.value)
    assert "CLASSIFIER_DEVICE=gpu" in str(error.value)
    assert "'cuda'" in str(error.value)


def test_environment_variable_sets_a_value(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MAX_BATCH_SIZE", "7")
    assert load_settings().max_batch_size == 7


@pytest.mark.parametrize("name", ["WORKERS", "MAX_BATCH_SIZE", "MAX_QUEUE", "DEADLINE_MS", "MAX_PIXELS"])
def test_zero_is_rejected_for_positive_settings(monkeypatch, name):
    monkeypatch.setenv(f"CLASSIFIER_{name}", "0")
    with pytest.raises(SettingsError, match=f"CLASSIFIER_{name}=0: .*greater than 0"):
        load_settings()


def test_missing_models_folder_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("CLASSIFIER_MODELS_DIR", str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match=r"CLASSIFIER_MODELS_DIR=.*gone"):
        load_settings()


def test_every_setting_has_a_description():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_default_is_one_worker_per_core_without_a_gpu():
    assert count_workers(Settings(device="cpu")) == available_cores() >= 1
    assert count_workers(Settings(workers=3)) == 3


def test_unknown_variable_is_an_error(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MAX_QUEU", "5")
    with pytest.raises(SettingsError, match=r"CLASSIFIER_MAX_QUEU: no such setting, expected one of .*MAX_QUEUE,"):
        load_settings()


def test_variables_set_by_kubernetes_are_ignored(monkeypatch):
    for name in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_3000_TCP_ADDR"):
        monkeypatch.setenv(f"CLASSIFIER_{name}", "tcp://10.0.0.1:3000")
    load_settings()
