"""The ways in: the page, the Gradio endpoints. They translate between a caller and the studio, nothing else."""
