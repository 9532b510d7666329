// How far one word is from another, to guess what somebody meant to write.

#pragma once

#include <cstddef>
#include <string_view>

namespace runnel {

// How many letters have to be put in, left out or changed to make one of the other.
std::size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace runnel
