output "images" {
  description = "What the names of the images begin with."
  value       = module.registry.url
}
