output "imagen" {
  description = "What the deployment's next steps ask for."
  value       = module.imagen
}
