"""The base model `fast`: FluxPipeline and PuLID at toy width, for a CPU."""
