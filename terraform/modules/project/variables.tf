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

variable "access" {
  description = "Who may do what in the whole project: members by their names, by roles. Only for what has no smaller place."
  type        = map(map(string))
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.access), ["roles/owner", "roles/editor", "roles/viewer"])) == 0
    error_message = "Owner, editor and viewer hold rights over everything in a project; name the role that is needed."
  }
}
