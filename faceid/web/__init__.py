"""The ways in: page, Gradio endpoints, HTTP API. They translate between a caller and the studio, nothing else."""
