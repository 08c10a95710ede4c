"""The base models of this machine: which are known, which are loaded, which one a caller means, what they cannot."""

from faceid.base_models import BASE_MODELS, DEFAULT_ALIAS, BaseModel, find_base_model
from faceid.capabilities import why_not
from faceid.errors import Unavailable
from faceid.finishes import ORDER
from faceid.loading import Loading

LOADING = "the models are still being loaded"


class Gallery:
    """`loaded_models`: those loaded now or soon, the default first."""

    loaded_models: tuple[BaseModel, ...]
    _loading: Loading

    def select_base_model(self, name: str | int | None) -> BaseModel:
        """The loaded base model of that slug or tune id; None and the alias 690204 give the default."""
        if name is None or str(name).strip() in ("", str(DEFAULT_ALIAS)):
            return self.loaded_models[0]
        model = find_base_model(name)
        if model not in self.loaded_models:
            loaded = ", ".join(f"{m.slug} ({m.tune_id})" for m in self.loaded_models)
            raise Unavailable(
                f"base_model: {model.slug} is not loaded here. Loaded: {loaded}. "
                "FACEID_BASE_MODELS says what is loaded at start."
            )
        return model

    def known_base_model(self, tune_id: int) -> BaseModel | None:
        """The base model that clients call by this id, loaded or not; the alias gives the default."""
        if tune_id == DEFAULT_ALIAS:
            return self.loaded_models[0]
        return next((model for model in BASE_MODELS if model.tune_id == tune_id), None)

    def why_not(self, name: str | int | None = None) -> dict[str, str]:
        """Of each finishing step that pictures of a known base model cannot get here, why; of all, while the models are
        being loaded, and for a base model that is not loaded."""
        model = find_base_model(name) if name else self.loaded_models[0]
        if model not in self.loaded_models:
            return dict.fromkeys(ORDER, f"{model.slug} is not loaded here")
        if not self._loading.done:
            return dict.fromkeys(ORDER, LOADING)
        try:
            missing = self._loading.wait().missing
        except Unavailable as error:
            return dict.fromkeys(ORDER, str(error).rstrip("."))
        return why_not(model, missing)

    def base_models(self) -> list[tuple[BaseModel, bool]]:
        """Every known base model, and whether it is loaded; the default first."""
        rest = [model for model in BASE_MODELS if model not in self.loaded_models]
        return [(model, True) for model in self.loaded_models] + [(model, False) for model in rest]
