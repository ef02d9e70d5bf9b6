variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "services" {
  description = "The APIs to turn on, by their host names."
  type        = set(string)

  validation {
    condition     = alltrue([for service in var.services : endswith(service, ".googleapis.com")])
    error_message = "A service is named by its host: run.googleapis.com, not run."
  }
}
