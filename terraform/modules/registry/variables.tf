variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the images are kept: where they run, so that a pull crosses no border."
  type        = string
}

variable "keep_versions" {
  description = "How many versions of each image are kept, however old they are: what can be rolled back to."
  type        = number
  default     = 20

  validation {
    condition     = var.keep_versions >= 2
    error_message = "Keep at least 2 versions: with one there is nothing to roll back to."
  }
}

variable "keep_days" {
  description = "How long any version is kept."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_days >= 1
    error_message = "Keep versions for at least 1 day: younger ones may be about to be deployed."
  }
}

variable "access" {
  description = "Who may do what with the images: members by their names, by roles."
  type        = map(map(string))
  default     = {}
}
